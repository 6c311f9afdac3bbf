"""What every adapter that speaks to an MQTT broker needs: settings, credentials, client, faults.

For adapters only. Importing the package imports no protocol library; `client` and `faults` do.
"""
