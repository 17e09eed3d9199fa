"""From an ImageAugmenter's parameters to the columns of its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ._geometry import FILL_MODES
from ._mixing import draw_boxes, draw_shares
from ._policies import MAGNITUDES, OPERATIONS, STRENGTHS
from ._ranges import (
    between,
    check_choice,
    check_limit,
    check_pair,
    check_shift,
    check_whole,
    check_zoom,
    shift,
    symmetric,
    whole,
)
from ._table import Column, Uniforms

_SLOTS = (
    "augmented",
    "theta",
    "tx",
    "ty",
    "shear",
    "zx",
    "zy",
    "flip_horizontal",
    "flip_vertical",
    "channel_shift_intensity",
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "blur_sigma",
    "noise_std",
    "noise_seed",
    "jpeg_quality",
    "erased",
    "erase_scale",
    "erase_ratio",
    "erase_top",
    "erase_left",
    "partner",
    "cut",
    "own_share",
    "cut_y",
    "cut_x",
)


def slots(parameters: Mapping[str, Any], channels: int) -> Sequence[str]:
    """Return the purposes of a row's random numbers, in the order of the stream."""
    operations = range(_operation_count(parameters))
    parts = ("operation", "share", "sign")
    policy = (f"policy_{part}_{i}" for i in operations for part in parts)
    shifts = (f"channel_shift_{i}" for i in range(channels) if parameters["channelwise_shift"])
    return (*_SLOTS, *policy, *shifts)


def columns(
    parameters: Mapping[str, Any], n: int, image_shape: tuple[int, int, int]
) -> list[Column]:
    """Return the columns that these parameters draw for ``n`` images.

    The ten columns of Keras are always included. Others are included if they are on.

    Parameters
    ----------
    image_shape : tuple of int
        (height, width, channels).

    Raises
    ------
    ValueError
        If a parameter of a random step is invalid.
    """
    check_choice("fill_mode", parameters["fill_mode"], FILL_MODES)
    check_choice("interpolation_order", parameters["interpolation_order"], tuple(range(6)))
    height, width, channels = image_shape
    return [
        *_geometry(parameters, height, width),
        *_color(parameters, channels),
        *_policy(parameters),
        *_quality(parameters, channels),
        *_erasing(parameters, height, width),
        *_mixing(parameters, n, height, width),
    ]


def _symmetric(parameters: Mapping[str, Any], parameter: str, name: str) -> Column:
    limit = check_limit(parameter, parameters[parameter])
    return Column(name, 0, (lambda u: symmetric(u[name], limit)) if limit else None)


def _pair(parameters: Mapping[str, Any], parameter: str, name: str) -> Column:
    value = parameters[parameter]
    if value is None:
        return Column(name, 1)
    limits = check_pair(parameter, value)
    return Column(name, 1, lambda u: between(u[name], limits))


def _shift(parameters: Mapping[str, Any], parameter: str, name: str, size: int) -> Column:
    limit = check_shift(parameter, parameters[parameter])
    return Column(name, 0, (lambda u: shift(u[name], limit, size)) if np.any(limit) else None)


def _flip(parameters: Mapping[str, Any], parameter: str, name: str) -> Column:
    return Column(name, False, (lambda u: u[name] < 0.5) if parameters[parameter] else None, "?")


def _geometry(parameters: Mapping[str, Any], height: int, width: int) -> list[Column]:
    zoom = check_zoom(parameters["zoom_range"])
    still = zoom == (1.0, 1.0)
    return [
        _symmetric(parameters, "rotation_range", "theta"),
        _shift(parameters, "width_shift_range", "tx", width),
        _shift(parameters, "height_shift_range", "ty", height),
        _symmetric(parameters, "shear_range", "shear"),
        Column("zx", 1, None if still else lambda u: between(u["zx"], zoom)),
        Column("zy", 1, None if still else lambda u: between(u["zy"], zoom)),
        _flip(parameters, "horizontal_flip", "flip_horizontal"),
        _flip(parameters, "vertical_flip", "flip_vertical"),
    ]


def _shifts(parameters: Mapping[str, Any], channels: int) -> list[Column]:
    common = _symmetric(parameters, "channel_shift_range", "channel_shift_intensity")
    if common.draw is None or not parameters["channelwise_shift"]:
        return [common]
    limit = parameters["channel_shift_range"]

    def each(u: Uniforms) -> np.ndarray:
        return np.stack([symmetric(u[f"channel_shift_{i}"], limit) for i in range(channels)], 1)

    return [replace(common, draw=None), Column("channel_shifts", 0, each, "f8", (channels,))]


def _color(parameters: Mapping[str, Any], channels: int) -> list[Column]:
    out = [*_shifts(parameters, channels), _pair(parameters, "brightness_range", "brightness")]
    if parameters["contrast_range"] is not None:
        out.append(_pair(parameters, "contrast_range", "contrast"))
    if parameters["saturation_range"] is not None:
        _check_channels("saturation_range", channels, (3,))
        out.append(_pair(parameters, "saturation_range", "saturation"))
    if check_limit("hue_range", parameters["hue_range"], most=0.5, unit="turns of the circle"):
        _check_channels("hue_range", channels, (3,))
        out.append(_symmetric(parameters, "hue_range", "hue"))
    return out


def _operation_count(parameters: Mapping[str, Any]) -> int:
    count = check_whole("policy_num_ops", parameters["policy_num_ops"], least=1, most=100)
    check_choice("policy", parameters["policy"], (*STRENGTHS, None))
    return {None: 0, "TrivialAugment": 1}.get(parameters["policy"], count)


def _policy(parameters: Mapping[str, Any]) -> list[Column]:
    policy = parameters["policy"]
    magnitude = check_whole(
        "policy_magnitude", parameters["policy_magnitude"], least=0, most=MAGNITUDES - 1
    )
    count = _operation_count(parameters)
    if not count:
        return []

    def operations(u: Uniforms) -> np.ndarray:
        drawn = [whole(u[f"policy_operation_{i}"], len(OPERATIONS)) for i in range(count)]
        return np.stack(drawn, axis=1)

    def shares(u: Uniforms) -> np.ndarray:
        drawn = []
        for i in range(count):
            steps: np.ndarray | int = magnitude
            if policy == "TrivialAugment":
                steps = whole(u[f"policy_share_{i}"], MAGNITUDES)
            drawn.append(np.where(u[f"policy_sign_{i}"] < 0.5, -steps, steps))
        return np.stack(drawn, axis=1) / (MAGNITUDES - 1)

    return [
        Column("policy_operation", 0, operations, "i1", (count,)),
        Column("policy_share", 0, shares, "f8", (count,)),
    ]


def _quality(parameters: Mapping[str, Any], channels: int) -> list[Column]:
    out = []
    sigma = check_limit("blur_sigma", parameters["blur_sigma"], unit="pixels")
    if sigma:
        out.append(Column("blur_sigma", 0, lambda u: sigma * u["blur_sigma"]))
    noise = check_limit("noise_std", parameters["noise_std"], most=1, unit="the white level")
    if noise:
        out.append(Column("noise_std", 0, lambda u: noise * u["noise_std"]))
        # All 53 random bits of a float64.
        out.append(Column("noise_seed", 0, lambda u: (u["noise_seed"] * 2**53).astype("u8"), "u8"))
    if parameters["jpeg_quality_range"] is not None:
        _check_channels("jpeg_quality_range", channels, (1, 3))
        low, high = check_pair(
            "jpeg_quality_range", parameters["jpeg_quality_range"], least=1, most=100
        )
        first, count = int(low), int(high) - int(low) + 1
        out.append(
            Column("jpeg_quality", 0, lambda u: first + whole(u["jpeg_quality"], count), "i2")
        )
    return out


def _erasing(parameters: Mapping[str, Any], height: int, width: int) -> list[Column]:
    probability = check_limit("erasing_p", parameters["erasing_p"], most=1)
    scale = check_pair("erasing_scale", parameters["erasing_scale"], most=1)
    ratio = check_pair("erasing_ratio", parameters["erasing_ratio"], least=1e-3)
    if not probability:
        return []

    def boxes(u: Uniforms) -> np.ndarray:
        area = between(u["erase_scale"], scale) * height * width
        # Uniform in the logarithm: twice as wide is as frequent as twice as high.
        proportion = np.exp(between(u["erase_ratio"], (np.log(ratio[0]), np.log(ratio[1]))))
        rows = np.clip(np.rint(np.sqrt(area * proportion)), 1, height)
        lines = np.clip(np.rint(np.sqrt(area / proportion)), 1, width)
        top = np.floor(u["erase_top"] * (height - rows + 1))
        left = np.floor(u["erase_left"] * (width - lines + 1))
        boxes = np.stack([top, left, rows, lines], axis=1)
        boxes[u["erased"] >= probability] = 0
        return boxes.astype(np.int32)

    return [Column("erase_box", 0, boxes, "i4", (4,))]


def _mixing(parameters: Mapping[str, Any], n: int, height: int, width: int) -> list[Column]:
    mixup = check_limit("mixup_alpha", parameters["mixup_alpha"])
    cutmix = check_limit("cutmix_alpha", parameters["cutmix_alpha"])
    if not mixup and not cutmix:
        return []

    def cut(u: Uniforms) -> np.ndarray:
        if mixup and cutmix:
            return u["cut"] < 0.5
        return np.full(len(u["cut"]), bool(cutmix))

    def boxes(u: Uniforms) -> np.ndarray:
        if not cutmix:
            return np.zeros((len(u["cut"]), 4), np.int32)
        shares = draw_shares(u["own_share"], cutmix)
        drawn = draw_boxes(shares, u["cut_y"], u["cut_x"], height=height, width=width)
        return np.where(cut(u)[:, np.newaxis], drawn, 0)

    def shares(u: Uniforms) -> np.ndarray:
        drawn = boxes(u)
        covered = drawn[:, 2] * drawn[:, 3] / (height * width)
        if not mixup:
            return 1 - covered
        return np.where(cut(u), 1 - covered, draw_shares(u["own_share"], mixup))

    return [
        Column("partner", np.arange(n), lambda u: whole(u["partner"], n), "i8"),
        Column("own_share", 1, shares),
        Column("cut_box", 0, boxes, "i4", (4,)),
    ]


def _check_channels(name: str, channels: int, allowed: tuple[int, ...]) -> None:
    if channels not in allowed:
        raise ValueError(
            f"`{name}` needs images of {' or '.join(map(str, allowed))} channels "
            f"({'RGB' if allowed == (3,) else 'grey or RGB'}), these have {channels}; "
            "leave it off for other images"
        )
