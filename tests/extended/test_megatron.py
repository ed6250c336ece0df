"""An exported view, read by Megatron-LM's own class; its import takes half a minute."""

import warnings

import pytest

from compressors.corpus import Document
from proxylm.data.encode import encode
from proxylm.data.export import export

pytest.importorskip("megatron.core", reason="pip install megatron-core")


def test_the_reader_of_megatron_gives_the_ids(tmp_path, bpe):
    texts = [b"one document", b"", b"another one\xff" * 50]
    store = encode([Document(str(i), text) for i, text in enumerate(texts)], tmp_path / "s", {"bpe": bpe})
    export(store, "bpe", "megatron", tmp_path / "x", eod=7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from megatron.core.datasets.indexed_dataset import IndexedDataset
    dataset = IndexedDataset(str(tmp_path / "x"))
    assert [dataset[i].tolist() for i in range(len(dataset))] == [[*bpe.encode(text).tolist(), 7] for text in texts]
    assert dataset.document_indices.tolist() == [0, 1, 2, 3]
