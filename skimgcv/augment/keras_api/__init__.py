"""What users of Keras' ``ImageDataGenerator`` know: its methods, and the flows that they make."""
