"""Calls of language models: one asynchronous client over litellm and OpenAI-compatible endpoints."""
