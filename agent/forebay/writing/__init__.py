"""The one gate through which anything is written to a device, whoever asks.

Must not know protocols, nor how a request reached the gate.
"""
