"""Benchmarks: figures as ratios within one run. ``python3 dev.py bench`` runs them all."""

from __future__ import annotations
