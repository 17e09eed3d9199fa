"""The methods of Keras' ``ImageDataGenerator``, and their flows."""
