"""Image augmentation: parameters in, one transform an image out."""
