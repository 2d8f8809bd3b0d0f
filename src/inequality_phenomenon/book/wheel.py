"""What an installed package carries of the repository, so that it works from any folder; setuptools runs this file alone."""

import shutil
from pathlib import Path

from setuptools.command.build_py import build_py

NETWORKS = ("standard", "linf1", "linf2", "linf4", "linf8", "l2_0.5", "l2_1.0", "linf8_cutout")
CARRIED = (
    "checkpoints/registry.yaml", "checkpoints/common_subset.json", "checkpoints/imagenet*",
    *(f"checkpoints/cifar10-resnet18w16-{kind}-s0.safetensors" for kind in NETWORKS),
    "results/published_values.csv", "results/claims.yaml", "results/reference/manifest.yaml",
    "results/reference/0[1-3]_*/*.parquet", "results/reference/10_*/*.parquet",
)  # fmt: skip


class BuildWithData(build_py):
    """Copies ``CARRIED`` into ``_data`` of the package; an editable installation reads the repository itself."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.package_data = {"": ["*.yaml"]}  # beside the modules that read them

    def run(self) -> None:
        super().run()
        for pattern in () if self.editable_mode else CARRIED:
            if not (files := sorted(Path().glob(pattern))):
                raise FileNotFoundError(f"the package must carry {pattern}, and it is not here")
            for file in files:
                target = Path(self.build_lib, "inequality_phenomenon", "_data", file)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
