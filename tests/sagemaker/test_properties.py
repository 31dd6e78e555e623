"""Properties of a model package are within AWS's bounds, whatever their values hold."""

from __future__ import annotations

from botocore.session import get_session
from hypothesis import given
from hypothesis import strategies as st

from ncf.aws.bounds import violations
from ncf.sagemaker.registry.properties import (
    MAX_NOTE_LENGTH,
    MAX_PROPERTIES,
    MAX_VALUE_LENGTH,
    as_note,
    as_properties,
    as_value,
    is_value,
)

SHAPE = get_session().get_service_model("sagemaker").operation_model("CreateModelPackage").input_shape


@given(st.dictionaries(st.sampled_from([f"ncf:{number}" for number in range(60)]), st.text(max_size=400), max_size=60))
def test_properties_of_any_text_are_accepted(values: dict[str, str]) -> None:
    properties = as_properties(values)
    assert all(map(is_value, properties.values()))
    if properties:
        assert list(violations(SHAPE, {"CustomerMetadataProperties": properties})) == []


def test_the_service_model_bounds_them() -> None:
    for wrong in ({"ncf:a": "a,b"}, {"ncf:a": ""}, {"ncf:a": "x" * (MAX_VALUE_LENGTH + 1)}, {"a[": "b"}):
        assert list(violations(SHAPE, {"CustomerMetadataProperties": wrong})), wrong
    many = {f"ncf:{number}": "x" for number in range(MAX_PROPERTIES + 1)}
    assert list(violations(SHAPE, {"CustomerMetadataProperties": many}))
    assert len(as_properties(many)) == MAX_PROPERTIES


def test_values_keep_what_aws_accepts() -> None:
    assert as_value("s3://bucket/a_b/c.d?e=f") == "s3://bucket/a_b/c.d e=f"
    assert as_value("[64, 32]") == "64 32"
    assert as_value(True) == "True"
    assert as_value("Größe\n１") == "Größe １"
    assert as_properties({"ncf:a": "{}", "ncf:b": None, "ncf:c": 0}) == {"ncf:b": "None", "ncf:c": "0"}
    assert is_value("s3://bucket/report")
    assert not is_value("s3://bucket/a,b")


def test_a_note_is_one_line() -> None:
    assert as_note(" a\n b\tc ") == "a b c"
    assert len(as_note("x" * 2000)) == MAX_NOTE_LENGTH
