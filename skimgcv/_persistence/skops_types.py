"""The types that ``skops.io`` must trust in a file of our estimators."""

SKOPS_TYPES = (
    "skimgcv._classifier.AugmentedKerasClassifier",
    "skimgcv._models.targets.ClassTargets",
    "skimgcv._models.targets.LabelTargets",
    "skimgcv._models.targets.NumberTargets",
    "skimgcv._persistence.pickling._PackedConfig",
    "skimgcv._persistence.pickling._PackedModel",
    "skimgcv._regressor.AugmentedKerasRegressor",
    "skimgcv.augment._augmenter.ImageAugmenter",
    "skimgcv.augment._plain.Plain",
    "skimgcv.augment._seeded.CallableAugmenter",
)
