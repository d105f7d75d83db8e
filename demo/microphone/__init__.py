"""A simulated USB microphone: an ALSA plugin, paced in real time, with the faults of real ones."""

from demo.microphone.build import BuildError, build
from demo.microphone.driver import DEVICE_NAME, SimulatedMicrophone

__all__ = ["DEVICE_NAME", "BuildError", "SimulatedMicrophone", "build"]
