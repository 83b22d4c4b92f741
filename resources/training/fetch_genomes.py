"""Download the genomes of genomes.yaml: `python resources/training/fetch_genomes.py FOLDER`.

They are in packages, from `pip download` (a source distribution) and `apt-get download`. Every file
is checked by its digest. On another system, put the files into the folder by hand.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "workflow" / "scripts"))

from evo2_embed.io.digests import file_sha256  # noqa: E402
from evo2_embed.io.errors import InputError  # noqa: E402


def fetch(genome: dict, folder: Path) -> None:
    """Write the file of one genome to a folder.

    Raises
    ------
    InputError
        If the package has a different file, or none.
    """
    path = folder / genome["file"]
    if path.is_file() and file_sha256(path) == genome["sha256"]:
        return
    with tempfile.TemporaryDirectory() as place:
        content = _from_pip if genome["archive"] == "PyPI" else _from_debian
        path.write_bytes(content(genome, Path(place)))
    if file_sha256(path) != genome["sha256"]:
        path.unlink()
        raise InputError(f"{genome['file']}: not the file in genomes.yaml")


def _from_pip(genome: dict, place: Path) -> bytes:
    name = genome["package"]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    # pip also builds the metadata, which can fail after the file was downloaded.
    subprocess.run([*command, "-d", str(place), name], check=False)
    archive = next(place.glob("*.tar.gz"), None)
    if archive is None:
        raise InputError(f"{name}: pip found no source distribution")
    return _member(archive.read_bytes(), genome["member"])


def _from_debian(genome: dict, place: Path) -> bytes:
    subprocess.run(["apt-get", "download", "-q", genome["package"]], cwd=place, check=True)
    package = next(place.glob("*.deb"))
    content = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", str(package)], check=True, stdout=subprocess.PIPE
    ).stdout
    found = _member(content, genome["member"])
    return _member(found, genome["inner"]) if "inner" in genome else found


def _member(archive: bytes, name: str) -> bytes:
    """The file with a name, in any folder of a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            if member.isfile() and Path(member.name).name == name:
                return files.extractfile(member).read()
    raise InputError(f"no file {name} in the package")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for genome in yaml.safe_load((HERE / "genomes.yaml").read_text()):
        fetch(genome, folder)
        print(f"{genome['file']}: {genome['organism']}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
