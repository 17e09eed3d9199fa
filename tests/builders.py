"""Small models; every test that can uses these few, so that they are compiled once."""

import keras

from skimgcv._models.heads import head


def dense(meta, units=16):
    """Build for rows or images: fast, and good enough for blobs."""
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu"),
            head(meta),
        ]
    )


def compiled_dense(meta):
    """Build, compiled: quick to learn, as scikit-learn's checks need it."""
    model = dense(meta)
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    return model


def cnn(meta, filters=4, dropout=0.25):
    """Build with what has state of its own: dropout's seeds, batch norm's means."""
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Conv2D(filters, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(dropout),
            keras.layers.Flatten(),
            keras.layers.Dense(meta["n_classes_"], activation="softmax"),
        ]
    )


def linear(meta):
    """Build the least: one layer, whose weights say what it was trained on."""
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Flatten(),
            head(meta),
        ]
    )


def frozen(meta, dropout=0.25):
    """Build what stands for a pretrained network, frozen, with a head."""
    model = keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(meta["n_classes_"], activation="softmax"),
        ]
    )
    for layer in model.layers[:2]:
        layer.trainable = False
    return model
