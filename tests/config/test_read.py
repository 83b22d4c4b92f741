"""What Snakemake accepts without a word in a configuration file, and this workflow refuses."""

import pytest
from evo2_embed.config.read import read_yaml
from evo2_embed.io.errors import InputError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: key 'a' is there twice (first in line 1)"),
        ("a:\n  b: 1\n  'b': 2\n", "line 3: key 'b' is there twice (first in line 2)"),
        ("- {a: 1, a: 1}\n", "line 1: key 'a' is there twice (first in line 1)"),
        ('{"a": {"b": 1,\n\t"b": 2}}', "key 'b' is there twice"),
        ("a: 1\n__use_yte__: true\n", "__use_yte__: code in a configuration is not allowed"),
        ('{"__use_yte__": false}', "__use_yte__: code in a configuration is not allowed"),
        ("a: [1\n", "cannot be read (while parsing"),
        ("a: !!python/name:os.system\n", "cannot be read (could not determine a constructor"),
        (f"a: {'9' * 5000}\n", "cannot be read (Exceeds the limit"),
        ("\x1b[31m: 1\n", "cannot be read (unacceptable character"),
        ("[" * 100_000, "cannot be read ("),
    ],
)
def test_such_a_file_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_yaml(path)
    assert str(error.value).startswith(f"{path}: {said}")
    assert "\n" not in str(error.value)


def test_a_missing_file_and_one_in_another_encoding_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no.yaml: cannot be read \(No such file"):
        read_yaml(tmp_path / "no.yaml")
    (tmp_path / "c.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(InputError, match=r"c.yaml: cannot be read \('utf-8' codec"):
        read_yaml(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a: {b: 1}\nc: {b: 2}\n", {"a": {"b": 1}, "c": {"b": 2}}),
        ('{"a": 1,\n\t"b": [1.5, null]}', {"a": 1, "b": [1.5, None]}),
        # A key of a merged mapping may be given again, also where the merge is used before.
        (
            "x: {y: &b {<<: &a {k: 1}, k: 2}}\nz: {<<: *b, k: 3}\n",
            {"x": {"y": {"k": 2}}, "z": {"k": 3}},
        ),
    ],
)
def test_other_files_are_read_as_snakemake_reads_them(tmp_path, text, content):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert read_yaml(path) == content
