"""Nobody's code is run on the user's behalf: trust in a repository is the user's own word."""

import ast
import json
import sys
from pathlib import Path

import pytest
from hub_jobs import start
from hub_server import File, HubServer, Repo

import hf_multitask

PACKAGE = Path(hf_multitask.__file__).parent
CODE = b'raise SystemExit("the code of a stranger was run")\n'

ASK = """
import json
from hf_multitask import MultiTaskModel
from hf_multitask.modeling.tokenizer_source import load_tokenizer

answers = {}
for kind, load in {
    "model": lambda: MultiTaskModel.from_backbone("evil/bert", tasks=[{"name": "topic", "labels": ["a", "b"]}]),
    "tokenizer": lambda: load_tokenizer("evil/bert"),
}.items():
    try:
        load()
        answers[kind] = "loaded"
    except (ValueError, OSError, KeyError) as error:
        answers[kind] = str(error)
print("\\n" + json.dumps(answers))  # behind the question that transformers asks
"""


def test_nothing_of_the_package_trusts_remote_code_by_itself():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert getattr(node.value, "value", None) is not True, f"{path.name}, line {node.value.lineno}"


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["evil", "bert"])
def test_the_code_of_a_backbone_is_neither_run_nor_fetched(tmp_path, model_type):
    config = {
        "model_type": model_type,
        "auto_map": {
            "AutoConfig": "evil.EvilConfig",
            "AutoModel": "evil.EvilModel",
            "AutoTokenizer": ["evil.EvilTokenizer", None],
        },
    }
    files = {"config.json": config, "tokenizer_config.json": config}
    with HubServer() as hub:
        hub.repos["evil/bert"] = Repo()
        stored = {name: File(json.dumps(content).encode(), large=False) for name, content in files.items()}
        hub.repos["evil/bert"].add("all of it", {**stored, "evil.py": File(CODE, large=False)})
        done = start(hub, tmp_path / "home", sys.executable, "-c", ASK)
        assert done.returncode == 0, done.stderr[-3000:]
        answers = json.loads(done.stdout.splitlines()[-1])
        assert answers["model"] != "loaded"
        assert model_type == "bert" or "trust_remote_code=True" in answers["tokenizer"]
        assert [request.path for request in hub.requests if request.path.endswith(".py")] == []
        assert [request for request in hub.requests if request.path.endswith("/config.json")]
