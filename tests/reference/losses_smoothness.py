"""Total variation of one map, pixel by pixel (Diff4Splat, Sec. 3.4)."""


def total_variation_loss(values, mask):
    height, width = values.shape
    total = 0.0
    for dy, dx in ((0, 1), (1, 0)):
        differences = []
        for y in range(height - dy):
            for x in range(width - dx):
                if mask[y, x] and mask[y + dy, x + dx]:
                    differences.append(abs(float(values[y + dy, x + dx]) - float(values[y, x])))
        if differences:
            total += sum(differences) / len(differences)
    return total
