"""X as rows of images, and the checks of what a user passes."""
