"""Sampling loops by their formulas: flow by Euler steps, and v-prediction by DDIM."""

import numpy as np


def flow_by_euler(predict, noise, sigmas, scale):
    """Rectified flow, z' = z + (s' - s) v; states as (sample after, clean sample before)."""
    z, states = noise.astype(np.float64), []
    for sigma, following in zip(sigmas[:-1], sigmas[1:], strict=True):
        conditional, unconditional = predict(z, sigma, True), predict(z, sigma, False)
        v = unconditional + scale * (conditional - unconditional)
        clean = z - sigma * v
        z = z + (following - sigma) * v
        states.append((z, clean))
    return states


def v_by_ddim(predict, noise, timesteps, alphas, final_alpha, scale):
    """Deterministic DDIM (Song et al. 2020, Eq. 12, eta 0) with v-prediction (Salimans and Ho 2022, App. D).

    x = sqrt(a) z - sqrt(1 - a) v,  e = sqrt(a) v + sqrt(1 - a) z,  z' = sqrt(a') x + sqrt(1 - a') e, where a'
    is that of the timestep one stride earlier.
    """
    z, states = noise.astype(np.float64), []
    stride = len(alphas) // len(timesteps)
    for timestep in timesteps:
        kept = alphas[timestep]
        following = alphas[timestep - stride] if timestep >= stride else final_alpha
        conditional, unconditional = predict(z, timestep, True), predict(z, timestep, False)
        v = unconditional + scale * (conditional - unconditional)
        clean = np.sqrt(kept) * z - np.sqrt(1 - kept) * v
        noise_part = np.sqrt(kept) * v + np.sqrt(1 - kept) * z
        z = np.sqrt(following) * clean + np.sqrt(1 - following) * noise_part
        states.append((z, clean))
    return states
