"""Federated fine-tuning of vision foundation models: which way works best for every hospital?"""
