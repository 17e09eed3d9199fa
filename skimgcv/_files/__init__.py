"""Image files on disk: listed with their labels, decoded in threads, and cached.

``image_files`` has the X that is read when needed. Caches are in memory or in a folder.
"""
