"""Small models with every part that Qwen3 has not, exported for `transformers`."""

from functools import cache

import pytest
import torch

from proxylm.config import ModelConfig
from proxylm.data.alphabet import Alphabet
from proxylm.interop.export import export
from proxylm.model.decoder import Decoder

KINDS = {
    "n-grams": {"hash_ngrams": 3, "ngram_rows": 97},
    "offset keys": {"partial_key_offset": True, "n_kv_heads": 2},
    "long n-grams": {"hash_ngrams": 8, "ngram_rows": 512, "d_ff": 50},
    "merges": {"hash_ngrams": 4, "ngram_rows": 512, "partial_key_offset": True, "n_kv_heads": 1, "rope_theta": 500.0},
    "extra heads": {"n_ahead": 2},
    "all": {"n_ahead": 1, "hash_ngrams": 4, "ngram_rows": 512, "partial_key_offset": True},
}


def model(kind):
    torch.manual_seed(0)
    made = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=4, **KINDS[kind]), Alphabet({}, {"a": 44}))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    if made.embedding.ngrams is not None:
        torch.nn.init.zeros_(made.embedding.ngrams.table[-1])
    return made.eval()


def exports(folder):
    """A function of a kind: the folder of its export, made when it is first asked for."""

    @cache
    def exported(kind):
        target = folder / kind.replace(" ", "_")
        export(model(kind), target, context=64, extra_heads=True)
        return target

    return exported


def opened(folder, **options):
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, **options)


def quietly(modules):
    """While this runs: no progress bars, and modelling files are copied into the folder `modules`."""
    import transformers

    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(modules))
        yield
