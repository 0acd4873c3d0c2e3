"""Batches of small dynamic worlds with exact geometry: any camera, any time, by ray casting."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.data.procedural.motion import RigidMotion
from diff4splat.data.procedural.raycast import Bundles, Placement
from diff4splat.data.procedural.shading import Lighting, Surfaces, cast, shade

__all__ = ["ProceduralFrames", "ProceduralScenes"]


@dataclass(frozen=True)
class ProceduralFrames:
    """What cameras see of a batch of scenes.

    Args:
        color: In [0, 1].
        depth: z-depth in scene units, finite everywhere (the sky is a far dome).
        object_index: 0 for the static world (room, ground, sky, furniture), i >= 1 for the i-th mover.
    """

    color: Float[Tensor, "batch frame rgb=3 height width"]
    depth: Float[Tensor, "batch frame height width"]
    object_index: Int64[Tensor, "batch frame height width"]


@dataclass(frozen=True)
class ProceduralScenes:
    """Dynamic scenes in the axes of their first camera (+x right, +y down, +z forward).

    Inside, geometry lives in a level frame with the same origin, +y along gravity and walls along the axes.

    Args:
        level_from_world: Rotation from the world to the level frame.
        shape: Shape of each object, index into `raycast.SHAPES`.
        size: Half extents of each object; zero marks an empty slot.
        motion: Motion of each object, level frame.
        object_index: Number of each object in the object maps; 0 for furniture.
        surfaces: Textures and where they go.
        lighting: Light, sky and air.
        main_direction: Unit direction of the main object's travel over the clip, world frame; zero when it
            does not travel.
        captions: One sentence per scene.
    """

    level_from_world: Float[Tensor, "batch 3 3"]
    shape: Int64[Tensor, "batch object"]
    size: Float[Tensor, "batch object xyz=3"]
    motion: RigidMotion
    object_index: Int64[Tensor, "batch object"]
    surfaces: Surfaces
    lighting: Lighting
    main_direction: Float[Tensor, "batch xyz=3"]
    captions: tuple[str, ...]

    @property
    def num_scenes(self) -> int:
        """Scenes in the batch."""
        return len(self.captions)

    @property
    def device(self) -> torch.device:
        """Device of all tensors."""
        return self.size.device

    def _map(self, function: Callable[[Tensor], Tensor], captions: tuple[str, ...]) -> "ProceduralScenes":
        values: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                values[field.name] = function(value)
            elif isinstance(value, tuple):
                values[field.name] = captions
            else:
                values[field.name] = value.map(function)
        return ProceduralScenes(**values)

    def to(self, device: torch.device | str) -> "ProceduralScenes":
        """The same scenes on a device.

        Args:
            device: Where every tensor goes.

        Returns:
            The same scenes; tensors that are there already are shared.
        """
        return self._map(lambda tensor: tensor.to(device), self.captions)

    def select(self, scenes: slice) -> "ProceduralScenes":
        """Some of the scenes (views of the tensors).

        Args:
            scenes: Which scenes of the batch.

        Returns:
            These scenes, as views of the tensors.
        """
        return self._map(lambda tensor: tensor[scenes], self.captions[scenes])

    def _without_empty_slots(self) -> "ProceduralScenes":
        used = self.size.amax((0, 2)) > 0
        used[0] = True
        used = used.nonzero().squeeze(-1)
        return replace(
            self,
            shape=self.shape[:, used],
            size=self.size[:, used],
            motion=self.motion.map(lambda tensor: tensor[:, used]),
            object_index=self.object_index[:, used],
            surfaces=replace(self.surfaces, of_object=self.surfaces.of_object[:, used]),
        )

    def placement(self, times: Float[Tensor, "batch frame"]) -> Placement:
        """Where every object is, in the level frame, one set per scene and frame.

        Args:
            times: In [0, 1].

        Returns:
            Objects with leading axes batch and frame.
        """
        rotation, center = self.motion.map(lambda tensor: tensor[:, None]).at(times[..., None])
        frames = times.shape[1]
        return Placement(
            shape=self.shape[:, None].expand(-1, frames, -1),
            size=self.size[:, None].expand(-1, frames, -1, -1),
            rotation=rotation,
            center=center,
        )

    @torch.no_grad()
    def render(
        self,
        cameras: Cameras,
        times: Float[Tensor, " frame"] | Float[Tensor, "batch frame"],
        *,
        supersample: int = 1,
        max_rays: int | None = None,
    ) -> ProceduralFrames:
        """Colour, z-depth and object numbers seen by cameras; camera i at `times[i]`.

        Args:
            cameras: One path per scene, in the scene's world frame.
            times: In [0, 1], one per camera, common to the batch or per scene.
            supersample: Rays per pixel and axis that are averaged into the colour, 1 or more.
            max_rays: Rays cast at once, bounds the memory; a size that suits the device when omitted.

        Returns:
            The frames; depth and object numbers are those of the ray through the pixel centre.

        Raises:
            ValueError: If batch or frame counts differ, a time is outside [0, 1] (checked on the CPU
                only), or `supersample` is below 1.
        """
        if cameras.batch_shape != (self.num_scenes,):
            raise ValueError(
                f"cameras must have batch shape ({self.num_scenes},), got {tuple(cameras.batch_shape)}."
            )
        if times.shape[-1] != cameras.num_frames:
            raise ValueError(
                f"times must have {cameras.num_frames} entries per scene, got {times.shape[-1]}."
            )
        if times.ndim == 2 and times.shape[0] != self.num_scenes:
            raise ValueError(f"times must have {self.num_scenes} rows, got {times.shape[0]}.")
        if supersample < 1:
            raise ValueError(f"supersample must be at least 1, got {supersample}.")
        if self.device.type == "cpu" and bool(((times < 0) | (times > 1)).any()):
            raise ValueError("times must lie in [0, 1].")
        times = times.to(self.size).expand(self.num_scenes, -1)
        if max_rays is None:
            max_rays = 1 << 18 if self.device.type == "cpu" else 1 << 23
        rays = cameras.num_frames * cameras.height * cameras.width * supersample**2
        step = max(1, max_rays // rays)
        parts = []
        for start in range(0, self.num_scenes, step):
            chosen = slice(start, start + step)
            parts.append(
                self.select(chosen)
                ._without_empty_slots()
                ._render(
                    cameras.camera_to_world[chosen].to(self.size),
                    cameras.intrinsics[chosen].to(self.size),
                    cameras.height,
                    cameras.width,
                    times[chosen],
                    supersample,
                )
            )
        color, depth, index = (
            torch.cat(part) if len(parts) > 1 else part[0] for part in zip(*parts, strict=True)
        )
        return ProceduralFrames(color=color, depth=depth, object_index=index)

    def _render(
        self,
        camera_to_world: Tensor,
        intrinsics: Tensor,
        height: int,
        width: int,
        times: Tensor,
        supersample: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        objects = self.placement(times)
        origin = (self.level_from_world[:, None] @ camera_to_world[..., :3, 3:]).squeeze(-1)
        from_pixel = (
            self.level_from_world[:, None] @ camera_to_world[..., :3, :3] @ torch.linalg.inv(intrinsics)
        )
        pixel_size = 1.0 / (intrinsics[..., 0, 0] * intrinsics[..., 1, 1]).sqrt()

        def rays(samples: int) -> Bundles:
            x = (torch.arange(width * samples, device=self.device, dtype=times.dtype) + 0.5) / samples
            y = (torch.arange(height * samples, device=self.device, dtype=times.dtype) + 0.5) / samples
            y, x = torch.meshgrid(y, x, indexing="ij")
            pixels = torch.stack([x.flatten(), y.flatten(), torch.ones_like(x).flatten()])
            return Bundles(origin=origin.flatten(0, 1), directions=(from_pixel @ pixels).flatten(0, 1))

        bundles = rays(1)
        hits = cast(bundles, objects, self.lighting)
        slot = hits.slot
        shape = {"f": times.shape[1], "h": height, "w": width}
        depth = rearrange(hits.depth, "(b f) (h w) -> b f h w", **shape)
        if supersample > 1:
            bundles = rays(supersample)
            hits = cast(bundles, objects, self.lighting)
            color = shade(hits, bundles, objects, self.surfaces, self.lighting, pixel_size / supersample)
            color = rearrange(
                color,
                "(b f) c (h s w r) -> b f c h w s r",
                f=shape["f"],
                h=height,
                s=supersample,
                r=supersample,
            ).mean((-2, -1))
        else:
            color = shade(hits, bundles, objects, self.surfaces, self.lighting, pixel_size)
            color = rearrange(color, "(b f) c (h w) -> b f c h w", **shape)
        numbers = torch.cat([torch.zeros_like(self.object_index[:, :1]), self.object_index], dim=1)
        index = numbers.gather(1, rearrange(slot, "(b f) r -> b (f r)", f=shape["f"]) + 1)
        return color, depth, rearrange(index, "b (f h w) -> b f h w", **shape)

    def poses(self, times: Float[Tensor, "batch time"]) -> Float[Tensor, "batch time index 4 4"]:
        """Object-to-world transforms by object number: entry 0 is the static world (the identity).

        Args:
            times: In [0, 1].

        Returns:
            Rigid transforms of each moving object; the identity for a number that no object bears.
        """
        rotation, center = self.motion.map(lambda tensor: tensor[:, None]).at(times[..., None])
        world_from_level = self.level_from_world.transpose(-1, -2)[:, None, None]
        num_objects = self.size.shape[1]
        transforms = torch.eye(4, device=self.device, dtype=self.size.dtype)
        transforms = transforms.expand(*times.shape, num_objects + 1, 4, 4).clone()
        transforms[..., 1:, :3, :3] = world_from_level @ rotation
        transforms[..., 1:, :3, 3:] = world_from_level @ center[..., None]
        numbers = torch.arange(1, num_objects + 1, device=self.device)
        bears = self.object_index == numbers
        transforms[..., 1:, :, :] = torch.where(
            bears[:, None, :, None, None], transforms[..., 1:, :, :], torch.eye(4, device=self.device)
        )
        return transforms

    def move(
        self,
        points: Float[Tensor, "batch point xyz=3"],
        object_index: Int64[Tensor, "batch point"],
        from_times: Float[Tensor, "batch point"],
        to_times: Float[Tensor, "batch point"],
    ) -> Float[Tensor, "batch point xyz=3"]:
        """Where material points of objects are at another time (exact rigid motion).

        Args:
            points: World positions at `from_times`.
            object_index: Object that each point belongs to, as in the object maps; 0 stays.
            from_times: In [0, 1].
            to_times: In [0, 1].

        Returns:
            World positions at `to_times`.

        Raises:
            ValueError: If the first axis is not the number of scenes.
        """
        if points.shape[0] != self.num_scenes:
            raise ValueError(f"points must have {self.num_scenes} scenes, got {points.shape[0]}.")
        slot = (object_index - 1).clamp_min(0)
        scene = torch.arange(self.num_scenes, device=self.device)[:, None]
        motion = self.motion.map(lambda tensor: tensor[scene, slot])
        rotation_from, center_from = motion.at(from_times)
        rotation_to, center_to = motion.at(to_times)
        level = points @ self.level_from_world.transpose(-1, -2)
        local = rotation_from.transpose(-1, -2) @ (level - center_from)[..., None]
        moved = (rotation_to @ local).squeeze(-1) + center_to
        return torch.where((object_index == 0)[..., None], points, moved @ self.level_from_world)

    def trajectories(
        self,
        points: Float[Tensor, "batch point xyz=3"],
        object_index: Int64[Tensor, "batch point"],
        from_time: Float[Tensor, " batch"],
        to_times: Float[Tensor, "batch time"],
    ) -> Float[Tensor, "batch time point xyz=3"]:
        """Paths of material points: `move` for many times at once.

        Args:
            points: World positions at `from_time`, for instance unprojected pixels of one frame.
            object_index: Object that each point belongs to.
            from_time: One time per scene, in [0, 1].
            to_times: In [0, 1].

        Returns:
            World positions at each of `to_times`.
        """
        start = self.poses(from_time[:, None])
        change = self.poses(to_times) @ torch.linalg.inv(start)
        scene = torch.arange(self.num_scenes, device=self.device)[:, None, None]
        frame = torch.arange(to_times.shape[1], device=self.device)[:, None]
        chosen = change[scene, frame, object_index[:, None]]
        return (chosen[..., :3, :3] @ points[:, None, :, :, None]).squeeze(-1) + chosen[..., :3, 3]
