"""Regions as rows, to compare them."""


def rows_of(mine):
    """Of the regions of a contig: start, end, strand, name, line and parts of each."""
    for i in range(len(mine)):
        parts = slice(mine.edges[i], mine.edges[i + 1])
        both = zip(mine.part_start[parts].tolist(), mine.part_end[parts].tolist(), strict=True)
        columns = (mine.start, mine.end, mine.strand, mine.name, mine.line)
        yield *(column[i : i + 1].tolist()[0] for column in columns), list(both)
