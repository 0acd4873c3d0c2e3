"""What the parts of the compact model are trained to minimise, in plain numpy float64, by loops."""

import numpy as np
from reference.models_assembly import depth, rotation
from reference.training_motion import balanced_motion_loss


def autoencoder_loss(decoded, video, mean, log_variance):
    """Softened error, 0.3 of its differences along time, rows and columns, 1e-4 of the divergence."""
    error = decoded - video
    pixel = np.mean([np.sqrt(e**2 + 1e-4) for e in error.flat])
    edges = 0.0
    for axis in (1, 3, 4):
        ahead = np.take(error, range(1, error.shape[axis]), axis=axis)
        behind = np.take(error, range(error.shape[axis] - 1), axis=axis)
        edges += np.mean(np.abs(ahead - behind))
    # Kullback-Leibler divergence of N(m, s^2) from N(0, 1): (m^2 + s^2 - 1 - log s^2) / 2.
    divergence = np.mean(
        [(m**2 + np.exp(v) - 1 - v) / 2 for m, v in zip(mean.flat, log_variance.flat, strict=True)]
    )
    return pixel + 0.3 * edges + 1e-4 * divergence, -10 * np.log10(np.mean(error**2)), divergence


def diffusion_loss(velocity, clean, noise):
    """Mean squared error of the velocity on all latent frames but the first."""
    return np.mean((velocity - (noise - clean))[:, 1:] ** 2)


def reconstruction_terms(gaussian_map, deformation, rendered, truth):
    """Every term by its name, before it is weighted.

    `truth` holds depth, moves and turns of every pixel, `moving`, the later frames at the map's resolution
    and the frames that were rendered.
    """
    logs = np.log(
        [[[[depth(raw) for raw in row] for row in maps[0]] for maps in clip] for clip in gaussian_map]
    )
    error = logs - np.log(truth["depth"])
    slopes = 0.0
    for step in (1, 4):
        kept = error[:, :, ::step, ::step]
        slopes += np.mean(np.abs(kept[..., 1:] - kept[..., :-1]))
        slopes += np.mean(np.abs(kept[..., 1:, :] - kept[..., :-1, :]))
    turned = np.zeros(deformation[:, :, :, :3].shape)
    for b, t, f, h, w in np.ndindex(*turned[:, :, :, 0].shape):
        turned[b, t, f, :, h, w] = rotation(gaussian_map[b, f, 7:11, h, w], deformation[b, t, f, 3:7, h, w])
    motion, motion_ratio = balanced_motion_loss(deformation[:, :, :, :3], truth["moves"], truth["moving"])
    rotation_loss, rotation_ratio = balanced_motion_loss(turned, truth["turns"], truth["moving"])
    return {
        "depth": np.mean(np.abs(error)),
        "slopes": slopes,
        "motion": motion,
        "rotation": rotation_loss,
        "color": np.mean(np.abs(gaussian_map[:, 1:, 1:4] + 0.5 - truth["later"])),
        "photo": np.mean((rendered - truth["frames"]) ** 2),
        "motion_ratio": motion_ratio,
        "rotation_ratio": rotation_ratio,
    }


WEIGHTS = {"depth": 1.0, "slopes": 0.5, "motion": 8.0, "rotation": 2.0, "color": 0.5, "photo": 5.0}


def reconstruction_loss(*arguments):
    terms = reconstruction_terms(*arguments)
    return sum(weight * terms[name] for name, weight in WEIGHTS.items())
