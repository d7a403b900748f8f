"""The ledger: what was meant to be sent, and what came of it; the truth from which every report is made.

A row's intent is on disk before its request leaves, its outcome after the answer. A row with an intent and no
outcome may have been carried out, and is treated so for ever after.
"""
