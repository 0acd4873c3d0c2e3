"""What the parts of a pipeline are trained to minimise, in plain numpy float64, by loops, clip by clip."""

import numpy as np
from reference.losses_depth import pearson_depth_loss
from reference.losses_motion import motion_loss
from reference.losses_photometric import photometric_mse
from reference.losses_smoothness import total_variation_loss
from reference.models_assembly import depth, rotation
from reference.training_maps import log_depth_error, log_depth_slope_error
from reference.training_motion import balanced_error, error_beside_movers


def autoencoder_terms(decoded, video, mean, log_variance):
    """One clip: softened error, differences along time, rows and columns, divergence, and dB."""
    error = decoded - video
    edges = 0.0
    for axis in (0, 2, 3):
        ahead = np.take(error, range(1, error.shape[axis]), axis=axis)
        behind = np.take(error, range(error.shape[axis] - 1), axis=axis)
        edges += np.mean(np.abs(ahead - behind))
    # Kullback-Leibler divergence of N(m, s^2) from N(0, 1): (m^2 + s^2 - 1 - log s^2) / 2.
    pairs = zip(mean.flat, log_variance.flat, strict=True)
    return {
        "pixel": np.mean([np.sqrt(e**2 + 1e-4) for e in error.flat]),
        "edges": edges,
        "kl": np.mean([(m**2 + np.exp(v) - 1 - v) / 2 for m, v in pairs]),
        "psnr": -10 * np.log10(np.mean(error**2)),
    }


def diffusion_loss(velocity, clean, noise):
    """One clip: mean squared error of the velocity on all latent frames but the first."""
    return np.mean((velocity - (noise - clean))[1:] ** 2)


def map_terms(gaussian_map, deformation, truth):
    """One clip: terms of its maps, and the sums of which ratios are made.

    `truth` holds depth, moves and turns of every pixel, `moving`, where depth is `known`, the later frames at
    the map's resolution, and the rotations of the frames' cameras against the first.
    """
    known, moved = truth["known"], deformation[:, :, :3]
    shown = [[[depth(raw) for raw in row] for row in maps[0]] for maps in gaussian_map]
    error = np.log(shown) - np.log(np.where(known, truth["depth"], 1))
    turned = np.zeros(moved.shape)
    world, true_world, seen = [], [], []
    at_times = np.broadcast_to(known, moved[:, :, 0].shape)
    for t, f, h, w in np.ndindex(*moved[:, :, 0].shape):
        turned[t, f, :, h, w] = rotation(gaussian_map[f, 7:11, h, w], deformation[t, f, 3:7, h, w])
        scaled = truth["axes"][f] * truth["depth"][f, h, w] if known[f, h, w] else np.zeros((3, 3))
        world.append(scaled @ moved[t, f, :, h, w])
        true_world.append(scaled @ truth["moves"][t, f, :, h, w])
        seen.append(known[f, h, w])
    motion, *motion_sums = balanced_error(moved, truth["moves"], truth["moving"], at_times)
    turns, *rotation_sums = balanced_error(turned, truth["turns"], truth["moving"], at_times)
    options = {"error_weight": 2.0, "l1_weight": 1.0, "distance": "l2", "l1_of": "motion"}
    terms = {
        "depth": log_depth_error(error, known),
        "depth_slope": log_depth_slope_error(error, known),
        "motion": motion,
        "motion_beside": error_beside_movers(moved, truth["moves"], truth["moving"], at_times, reach=4),
        "rotation": turns,
        "color": np.mean(np.abs(gaussian_map[1:, 1:4] + 0.5 - truth["later"])),
        "point_motion": motion_loss(world, true_world, seen, np.ones(len(seen)), **options),
    }
    return terms, {"motion": motion_sums, "rotation": rotation_sums}


def image_terms(color, shown_depth, frames, key_depths):
    """One clip: terms of rendered images and depth; `key_depths` are true ones by their place among them."""
    whole = np.ones(color.shape[-2:], dtype=bool)
    pearson = [
        pearson_depth_loss(shown_depth[place], true, np.isfinite(true) & (true > 0), 1e-6)
        for place, true in key_depths.items()
    ]
    return {
        "photometric": np.mean([photometric_mse(c, f, whole) for c, f in zip(color, frames, strict=True)]),
        "pearson": np.mean(pearson),
        "total_variation": np.mean([total_variation_loss(values, whole) for values in shown_depth]),
    }
