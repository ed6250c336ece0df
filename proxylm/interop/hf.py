"""`import proxylm.interop.hf` makes exported models known to `transformers`: `AutoModelForCausalLM` then needs no remote code."""

from __future__ import annotations

from transformers import AutoConfig, AutoModelForCausalLM

from proxylm.interop.modeling_proxylm import ProxyLMConfig, ProxyLMForCausalLM

AutoConfig.register(ProxyLMConfig.model_type, ProxyLMConfig, exist_ok=True)
AutoModelForCausalLM.register(ProxyLMConfig, ProxyLMForCausalLM, exist_ok=True)
# So that `save_pretrained` writes the modelling file beside the weights.
ProxyLMConfig.register_for_auto_class()
ProxyLMForCausalLM.register_for_auto_class("AutoModelForCausalLM")
