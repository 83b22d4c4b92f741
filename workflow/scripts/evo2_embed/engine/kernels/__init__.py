"""Triton kernels for GPUs: what PyTorch computes, with less memory traffic.

choose  PyTorch or Triton
launch  the start of a kernel, with what it moves and computes
gate    the filter of 3 taps and the gates of the Hyena blocks
short   the same with the inner filter of `hcs`
medium  the inner filter of `hcm` and its gate
long    the inner filter of `hcl` and its gate
norm    residual and RMS norm
rotary  rotary positions, in place
mixing  the filters and gates of a Hyena block

PyTorch stays the reference: `mixing`, `blocks` and `attention` of the engine. Each kernel is
compared with it in Triton's interpreter.
"""
