"""Fitted estimators in other forms: a file of plain data, a pickle, one Keras model.

``archive`` is the format of the file, which is frozen by its version; ``saving`` is what is in it.
"""
