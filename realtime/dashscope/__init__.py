"""DashScope: Qwen-Omni and Qwen-Audio Realtime."""
