"""Trains a small network on MNIST and tells its accuracy as the well-known TensorFlow demo does.

784 inputs, 500 hidden units with ReLU and dropout, 10 outputs; Adam, batches of 100. A step that is
divisible by ten only evaluates the 10,000 test images; every hundredth (99, 199, ...) tells that its
metadata was recorded. numpy is all it needs, and the four IDX files of MNIST.
"""

import argparse
import os
import pathlib
import struct
import sys

# One thread: the job asks for a device, not for the whole processor, and sums come out the same.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np

PIXELS, HIDDEN, CLASSES = 784, 500, 10
BATCH, KEEP, RATE = 100, 0.9, 1e-3


def read_idx(path):
    """Reads an IDX file of bytes: two zeros, a type, the number of dimensions, the dimensions, the data."""
    data = path.read_bytes()
    zeros, kind, rank = struct.unpack(">HBB", data[:4])
    if zeros != 0 or kind != 8:
        sys.exit(f"{path}: not an IDX file of bytes")
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def load(directory, prefix):
    """The images as rows of numbers from 0 to 1, and their labels."""
    images = read_idx(directory / f"{prefix}-images-idx3-ubyte").reshape(-1, PIXELS)
    return images.astype(np.float32) / 255, read_idx(directory / f"{prefix}-labels-idx1-ubyte")


class Network:
    """Two dense layers and the state of their optimizer."""

    def __init__(self, random):
        def normal(*shape):
            # Truncated at two deviations, as the original initialises.
            values = random.standard_normal(shape)
            while (far := np.abs(values) > 2).any():
                values[far] = random.standard_normal(far.sum())
            return (values * 0.1).astype(np.float32)

        self.parts = [
            normal(PIXELS, HIDDEN),
            np.full(HIDDEN, 0.1, np.float32),
            normal(HIDDEN, CLASSES),
            np.full(CLASSES, 0.1, np.float32),
        ]
        self.moments = [(np.zeros_like(part), np.zeros_like(part)) for part in self.parts]
        self.updates = 0

    def accuracy(self, images, labels):
        """The share of images whose label has the largest output."""
        first, first_bias, second, second_bias = self.parts
        hidden = np.maximum(images @ first + first_bias, 0)
        return float(((hidden @ second + second_bias).argmax(1) == labels).mean())

    def step(self, images, labels, random):
        """One update by the gradient of the cross-entropy of a batch."""
        first, first_bias, second, second_bias = self.parts
        hidden = np.maximum(images @ first + first_bias, 0)
        mask = (random.random(hidden.shape) < KEEP).astype(np.float32) / KEEP
        dropped = hidden * mask
        outputs = dropped @ second + second_bias
        outputs = np.exp(outputs - outputs.max(1, keepdims=True))
        slope = outputs / outputs.sum(1, keepdims=True)
        slope[np.arange(len(labels)), labels] -= 1
        slope /= len(labels)
        back = (slope @ second.T) * mask * (hidden > 0)
        self.adam([images.T @ back, back.sum(0), dropped.T @ slope, slope.sum(0)])

    def adam(self, slopes):
        """Adam with its usual constants."""
        self.updates += 1
        rate = RATE * np.sqrt(1 - 0.999**self.updates) / (1 - 0.9**self.updates)
        for part, slope, (mean, square) in zip(self.parts, slopes, self.moments):
            mean += 0.1 * (slope - mean)
            square += 0.001 * (slope * slope - square)
            part -= (rate * mean / (np.sqrt(square) + 1e-8)).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max_steps", type=int, default=1000, help="steps, evaluations included")
    parser.add_argument("--data_dir", type=pathlib.Path, default=os.environ.get("MNIST_DATA"), help="the four IDX files")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.data_dir is None:
        sys.exit("no data: give --data_dir or MNIST_DATA, the folder of the four MNIST files")
    directory = pathlib.Path(options.data_dir)
    random = np.random.default_rng(options.seed)
    images, labels = load(directory, "train")
    test_images, test_labels = load(directory, "t10k")
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
    print(f"{len(labels)} training and {len(test_labels)} test images; devices: {devices}", flush=True)
    network = Network(random)
    order = random.permutation(len(labels))
    place = 0
    for step in range(options.max_steps):
        if step % 10 == 0:
            print(f"Accuracy at step {step}: {network.accuracy(test_images, test_labels):.4f}", flush=True)
            continue
        if place + BATCH > len(order):
            order, place = random.permutation(len(labels)), 0
        batch = order[place : place + BATCH]
        place += BATCH
        network.step(images[batch], labels[batch], random)
        if step % 100 == 99:
            print(f"Adding run metadata for {step}", flush=True)


if __name__ == "__main__":
    main()
