"""Whether an answer is one that ECI's SDKs know: every field has a place in the new SDK's models, and the type it has there."""

import typing

from alibabacloud_eci20180808 import models

# What the mock-up of a model's field is made of, by type; a field of another kind is reported, never skipped.
SCALARS = {str: "", int: 0, float: 0.5, bool: False}


def body_model(operation):
    return getattr(models, f"{operation}ResponseBody")


def faults(answer, model, path=""):
    """What is wrong with `answer` as an instance of `model`, a class of the SDK: a list of texts, empty if nothing is."""
    if not isinstance(answer, dict):
        return [f"{path}: {type(answer).__name__} instead of an object"]
    known, found = fields(model), []
    for name, value in answer.items():
        here = f"{path}.{name}" if path else name
        if name not in known:
            found.append(f"{here}: a field the SDK does not know")
        else:
            found += value_faults(value, known[name], here)
    return found


def value_faults(value, kind, path):
    origin = typing.get_origin(kind)
    if origin is list:
        if not isinstance(value, list):
            return [f"{path}: {type(value).__name__} instead of a list"]
        return [fault for i, item in enumerate(value) for fault in value_faults(item, typing.get_args(kind)[0], f"{path}[{i}]")]
    if origin is dict:
        return [] if isinstance(value, dict) else [f"{path}: {type(value).__name__} instead of a map"]
    if kind is typing.Any:
        return []
    if kind in SCALARS:
        right = isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
        return [] if right else [f"{path}: {value!r} is not of type {kind.__name__}"]
    return faults(value, kind, path)


KNOWN = {}


def fields(model):
    """The fields of a model as they are called on the wire, with their types."""
    if model not in KNOWN:
        KNOWN[model] = {}
        hints = typing.get_type_hints(model.__init__)
        hints.pop("return", None)
        unset = model().to_map()
        for attribute, kind in hints.items():
            # A model says the wire name of an attribute only by what it writes of it.
            written = model(**{attribute: example(kind)}).to_map()
            name, = (name for name, value in written.items() if name not in unset or unset[name] != value)
            KNOWN[model][name] = kind
    return KNOWN[model]


def example(kind):
    origin = typing.get_origin(kind)
    if origin is list:
        return [example(typing.get_args(kind)[0])]
    if origin is dict:
        return {"key": "value"}
    if kind is typing.Any:
        return "value"
    return SCALARS[kind] if kind in SCALARS else kind()
