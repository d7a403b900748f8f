"""The process and its terminal: streams, signals, the event loop, what is shown while a run goes on."""
