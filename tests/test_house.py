"""The house: which room may use which, and what the front door offers."""

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import hf_multitask

PACKAGE = Path(hf_multitask.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
MAY_IMPORT = {
    "modeling": set(),
    "settings": {"modeling"},
    "data": {"modeling", "settings", "files"},
    "evaluation": {"modeling"},
    "balancing": {"modeling"},
    "training": {"balancing", "modeling", "data", "evaluation", "settings", "publishing", "backbones", "tables"},
    "publishing": {"modeling", "tables"},
    "transfer": {"modeling", "settings", "data", "evaluation", "training", "publishing"},
    "exporting": {"modeling", "evaluation"},
    "opening": {"modeling", "backbones"},
    "answer_columns": {"modeling"},
    "scoring": {"modeling", "opening", "answer_columns"},
    "files": {"answer_columns"},
    "commands": {
        *("modeling", "settings", "data", "evaluation", "training", "publishing", "backbones", "tables"),
        *("exporting", "opening", "answer_columns", "scoring", "files", "transfer"),
    },
    "__main__": {"commands"},
    "backbones": set(),
    "tables": set(),
}
"""Room -> the other rooms whose names it may import."""


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """(level, module) of every import statement in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
        elif isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)


def test_rooms_use_only_the_rooms_they_may():
    wrong = {}
    for path in MODULES:
        if path == PACKAGE / "__init__.py":  # the front door
            continue
        room = room_of(path)
        may = MAY_IMPORT[room] | {room} if room in MAY_IMPORT else set()
        depth = len(path.relative_to(PACKAGE).parts)
        found = {
            module
            for level, module in imports(path)
            if module.startswith("hf_multitask")  # within the package, imports are relative
            or (level == depth and module.split(".")[0] not in may)  # a name from the package's top
        }
        if found:
            wrong[str(path.relative_to(PACKAGE))] = sorted(found)
    assert wrong == {}


def test_modeling_stands_on_the_standard_library_torch_and_transformers():
    everywhere = sys.stdlib_module_names | {"numpy", "torch", "transformers", "huggingface_hub"}  # transformers has it
    elsewhere = {
        "sentence_transformer_multitask.py": {"sentence_transformers"},  # read by sentence-transformers alone
        "onnx_graph.py": {"onnxruntime"},  # copied beside exported graphs alone
        "short_kernels.py": {"triton"},  # read where a GPU is, to which torch brings it
    }
    wrong = {}
    for path in (PACKAGE / "modeling").glob("*.py"):
        allowed = everywhere | elsewhere.get(path.name, set())
        found = {
            "." * level + module
            for level, module in imports(path)
            if (level == 0 and module.split(".")[0] not in allowed)
            or level > 1  # one flat folder
            or (level == 1 and (not module or "." in module))  # `from . import x` is not copied into a checkpoint
        }
        if found:
            wrong[path.name] = sorted(found)
    assert wrong == {}


def test_no_file_of_a_checkpoint_hides_a_package_from_a_python_that_is_started_there():
    names = {path.stem for path in (PACKAGE / "modeling").glob("*.py")} - {"__init__"}
    assert names & (sys.stdlib_module_names | importlib.metadata.packages_distributions().keys()) == set()


def test_the_depth_rule_knows_no_task_and_no_trainer():
    for name in ("depth.py", "layerwise.py"):
        found = {module for level, module in imports(PACKAGE / "training" / name) if level}
        assert found <= {"depth", "tables"}


def test_the_front_door_offers_what_it_lists_sorted():
    assert hf_multitask.__all__ == sorted(hf_multitask.__all__)
    for name in hf_multitask.__all__:
        assert getattr(hf_multitask, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hf_multitask.nothing


def test_importing_the_package_does_not_import_what_only_training_needs():
    heavy = ("datasets", "evaluate", "sklearn", "pandas")
    told = f"print([name for name in {heavy} if name in sys.modules])"
    code = f"import sys, torch, transformers.modeling_utils; {told}; import hf_multitask; {told}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = done.stdout.splitlines()
    assert after == before


def test_no_file_of_the_package_is_longer_than_300_lines():
    assert {path.name: n for path in MODULES if (n := len(path.read_text(encoding="utf-8").splitlines())) > 300} == {}
