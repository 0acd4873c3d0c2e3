"""Squared error of one image over valid pixels (Diff4Splat, Eq. 3, first term)."""


def photometric_mse(image, target, mask):
    total, count = 0.0, 0
    for channel in range(image.shape[0]):
        for y in range(image.shape[1]):
            for x in range(image.shape[2]):
                if mask[y, x]:
                    total += (float(image[channel, y, x]) - float(target[channel, y, x])) ** 2
                    count += 1
    return total / count if count else 0.0
