"""Images on disk: listed, decoded and cached."""
