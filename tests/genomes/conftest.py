"""Files of regions, written and read again."""

import pytest
from evo2_embed.genomes.fit import region_faults
from evo2_embed.genomes.regions import read_regions
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.settings.windows import RegionSettings
from region_rows import rows_of


@pytest.fixture
def read(tmp_path):
    """A function that reads a text as a file of regions: by contig, its rows."""

    def read(content, **settings):
        path = tmp_path / "regions"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        found = read_regions(str(path), RegionSettings(**settings))
        return {contig: list(rows_of(mine)) for contig, mine in found.items()}

    return read


@pytest.fixture
def refused(tmp_path, read):
    """A function that reads a bad file: what is said, without its path, in one line."""

    def refused(content, **settings):
        with pytest.raises(InputError) as error:
            read(content, **settings)
        # The same is found when a run starts.
        path = tmp_path / "regions"
        genomes = [Genome(name, "missing.fa", str(path)) for name in "ab"]
        assert region_faults(genomes, RegionSettings(**settings)) == [str(error.value)] * 2
        assert "\n" not in str(error.value)
        return str(error.value).removeprefix(f"{path}: ")

    return refused
