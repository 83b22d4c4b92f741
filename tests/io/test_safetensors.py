"""Files of arrays, against the format's own library."""

import json

import numpy as np
import pytest
import torch
from evo2_embed.io.errors import InputError
from evo2_embed.io.safetensors import ArrayFile, write_arrays
from safetensors import safe_open
from safetensors.torch import save_file

VALUES = np.random.default_rng(0).standard_normal((3, 5))


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_arrays_of_every_type_are_read_as_torch_reads_them(tmp_path, kind):
    tensors = {"b": torch.tensor(VALUES).to(kind), "a": torch.tensor(2.5, dtype=kind)}
    save_file(tensors, tmp_path / "x.safetensors", {"model": "evo2_7b"})
    file = ArrayFile.open(tmp_path / "x.safetensors")
    assert file.shapes == {"a": (), "b": (3, 5)}
    assert file.metadata == {"model": "evo2_7b"}
    wider = torch.float64 if kind == torch.float64 else torch.float32
    for name, tensor in tensors.items():
        found = file.read(name)
        wanted = tensor.to(wider).numpy()
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_array_equal(found, wanted)


def test_the_format_s_own_library_reads_what_is_written(tmp_path):
    arrays = {"weight": VALUES, "bias": VALUES[0].astype(np.float32)}
    written = []
    for name in ("one", "two"):
        write_arrays(tmp_path / name, arrays, {"layer": "norm", "classes": '["é"]'})
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    with safe_open(tmp_path / "one", "np") as file:
        assert file.metadata() == {"layer": "norm", "classes": '["é"]'}
        for name, wanted in arrays.items():
            found = file.get_tensor(name)
            assert found.dtype == wanted.dtype
            np.testing.assert_array_equal(found, wanted)


def framed(header):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


ARRAY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not the length of a header"),
        (b"PK\x03\x04" + b"\0" * 90, "not the length of a header"),
        (framed(b"[1"), "not a safetensors file, or damaged"),
        (framed([1]), "not a safetensors file, or damaged"),
        (framed({"a": 1}), "not a safetensors file, or damaged"),
        (framed({"a": ARRAY}) + b"1234", "array 'a' is not within the file"),
        (framed({"a": {**ARRAY, "shape": [3]}}) + b"12345678", "not the bytes of its shape"),
        (framed({"a": {**ARRAY, "shape": [-2]}}) + b"12345678", "not within the file"),
        (framed({"__metadata__": {"a": 1}}), "its metadata are not texts"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        ArrayFile.open(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_of_another_type_and_missing_files_are_refused(tmp_path):
    save_file({"a": torch.arange(3)}, tmp_path / "x.safetensors")
    file = ArrayFile.open(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="array 'a' is of type I64 .allowed: BF16, F16, F32, F64"):
        file.read("a")
    with pytest.raises(InputError, match="no such file"):
        ArrayFile.open(tmp_path / "y.safetensors")
