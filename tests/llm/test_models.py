from __future__ import annotations

import pytest

from evolve.errors import AuthenticationFailed, UsageError
from evolve.llm.models import ModelConfig


def test_table_is_read():
    table = {"api_base": "http://host/v1", "price_in_usd": 1, "price_out_usd": 2.5, "temperatures": [0, 0.8]}
    config = ModelConfig.from_table("openai/gpt-oss", table)
    assert config.temperatures == (0.0, 0.8)
    assert config.backend_name == "openai"
    assert config.served_name == "gpt-oss"
    assert config.cost_usd(2_000_000, 1_000_000) == pytest.approx(4.5)


def test_one_temperature():
    assert ModelConfig.from_table("a/b", {"temperature": 0.3}).temperatures == (0.3,)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"timeout": 3}, "did you mean 'timeout_s'"),
        ({"timeout_s": "3"}, "must be a number"),
        ({"timeout_s": -1}, "must be positive"),
        ({"backend": "curl"}, "'litellm' or 'openai'"),
        ({"backend": "openai"}, "needs api_base"),
        ({"price_in_usd": -1, "price_out_usd": 1}, "must not be negative"),
        ({"price_in_usd": 1}, "both price_in_usd and price_out_usd"),
        ({"temperatures": ["hot"]}, "from 0 to 2"),
    ],
)
def test_wrong_tables_are_refused(table, words):
    with pytest.raises(UsageError, match=words):
        ModelConfig.from_table("vendor/model", table)


def test_unknown_price_is_none_and_zero_is_zero():
    assert ModelConfig("a/b").cost_usd(10, 10) is None
    free = ModelConfig("a/b", price_in_usd=0.0, price_out_usd=0.0)
    assert free.cost_usd(10, 10) == 0.0
    assert free.cost_usd(None, None) == 0.0
    assert ModelConfig("a/b", price_in_usd=1.0, price_out_usd=0.0).cost_usd(None, 3) is None


@pytest.mark.parametrize(
    ("id", "variable"),
    [
        ("openai/gpt-5-mini", "OPENAI_API_KEY"),
        ("gpt-5-mini", "OPENAI_API_KEY"),
        ("claude-x", "ANTHROPIC_API_KEY"),
        ("openrouter/a/b", "OPENROUTER_API_KEY"),
        ("gemini/flash", "GEMINI_API_KEY"),
    ],
)
def test_key_variable_by_convention(id, variable):
    assert ModelConfig(id).key_variable == variable


def test_missing_key_names_the_variable(monkeypatch):
    monkeypatch.delenv("SCRIPTED_KEY", raising=False)
    with pytest.raises(AuthenticationFailed, match="SCRIPTED_KEY"):
        ModelConfig("a/b", api_key_env="SCRIPTED_KEY").key()
    monkeypatch.setenv("SCRIPTED_KEY", " secret ")
    assert ModelConfig("a/b", api_key_env="SCRIPTED_KEY").key() == "secret"
