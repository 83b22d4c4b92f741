"""A device that gives NaN or inf in one pack of every embedding job."""

import os

from after_import import AfterImport


def spoil(run_packs) -> None:
    """Replace the pooler by one whose rows of one pack hold a value that is not finite."""

    class Pooler(run_packs.Pooler):
        packs = 0

        def pool(self, outputs, spans):
            rows, found = super().pool(outputs, spans)
            if self.packs == int(os.environ["SPOILED_PACK"]):
                for values in found.values():
                    values[-1, 0] = float(os.environ["SPOILED_BY"])
            self.packs += 1
            return rows, found

    run_packs.Pooler = Pooler


AfterImport("evo2_embed.embed.run_packs", spoil)
