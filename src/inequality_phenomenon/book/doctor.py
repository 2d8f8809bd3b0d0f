"""What is here and what is missing, in one line a thing."""

import subprocess
from datetime import date

import torch

from .._support import paths
from ..datasets import DataError, load_cifar10
from ..networks import REGISTRY, load_checkpoint


def is_complete() -> bool:
    """Print it; whether all that ``make book`` needs is here."""
    print(f"project folder   {paths.ROOT}")
    print(f"packages         {_age_of_the_lock()}")
    print(f"torch            {torch.__version__}, {torch.get_num_threads()} threads, GPU: {torch.cuda.is_available()}")
    try:
        load_cifar10("test")
    except DataError as problem:
        print(f"CIFAR-10         {problem}")
        return False
    print(f"CIFAR-10         verified in {paths.data_folder()}")
    for name in REGISTRY:
        load_checkpoint(name)
        print(f"checkpoint       {name} verified")
    for name in REGISTRY.unshipped:
        print(f"not shipped      {name}: {REGISTRY[name].remake}")
    for name in sorted(path.stem for path in paths.CHECKPOINTS.glob("cifar10-*.yaml") if path.stem not in REGISTRY):
        print(f"not trained yet  {name}")
    return True


def _age_of_the_lock() -> str:
    """How old the locked versions are: a list of known vulnerabilities does not ship with the project."""
    command = ["git", "log", "-1", "--format=%cs", "--", "requirements.lock"]
    try:
        day = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=True).stdout.strip()
        age = (date.today() - date.fromisoformat(day)).days
    except (OSError, subprocess.CalledProcessError, ValueError):
        return "requirements.lock, of unknown age"
    return f"requirements.lock of {day}, {age} days old; `pip-audit --disable-pip -r requirements.lock` audits them"
