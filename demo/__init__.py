"""A whole store on one machine: the real programs as processes, with a simulated microphone and a virtual panel."""
