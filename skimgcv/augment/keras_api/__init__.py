"""What users of ``ImageDataGenerator`` know: its methods and its flows."""
