"""The record of each run: which calls were intended and what their outcomes are. Every report is made from it.

The intent of a row is durable before its request is sent, its outcome after the response. A row with an intent and
no outcome may have been carried out: it is in doubt until it is settled.
"""
