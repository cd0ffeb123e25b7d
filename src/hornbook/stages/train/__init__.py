"""Pretrain and finetune."""
