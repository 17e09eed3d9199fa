"""Fitted estimators in other forms: a file of plain data, a pickle, one Keras model.

``archive`` has the format of the file, fixed by its version. ``saving`` has the content.
"""
