using System.Runtime.Intrinsics;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

internal sealed unsafe partial class PackedKernel<TDot, TCodes, TNumber, TShape>
{
    // Sixteen tokens or more, where the processor multiplies matrices: stretches of some tiles are unpacked to signed bytes, then met by all tokens.

    /// <summary>Tiles that all tokens meet before the next ones, so that inputs are read that many times less often; they stay in the second cache.</summary>
    private const int AmxTiles = 4;

    /// <summary>The code for an input of so many tokens, or null where other code is for it.</summary>
    private AmxTile? AmxFor(int tokens) => tokens >= Generated.AmxTile.Tokens ? AmxTile() : null;

    private static InputGroups AmxGroups(int tokens) => new(tokens, Generated.AmxTile.Tokens, TShape.Parts, Bias: 0, Scaled: true);

    /// <summary>Scales and offsets of a chunk.</summary>
    private static int AmxNumbers => (TShape.HasOffsets ? 2 : 1) * TShape.Parts * PackedMatrix.TileRows;

    /// <summary>Scratch memory of one worker.</summary>
    private readonly struct AmxPanel
    {
        /// <summary>Bytes that a stretch of a tile has unpacked, and floats.</summary>
        private const int TileCodes = PanelChunks * 512, TileSums = Generated.AmxTile.Tokens * PackedMatrix.TileRows;

        private readonly sbyte* _codes;
        private readonly float* _numbers, _sums;
        private readonly int _groups;
        public readonly byte* Ring;

        public AmxPanel(GrowingBuffer scratch, int groups)
        {
            const int ring = Generated.AmxTile.RingBytes;
            _groups = groups;
            scratch.Reserve(3 * ring + AmxTiles * (TileCodes + (PanelChunks * AmxNumbers + (nint)groups * TileSums) * sizeof(float)));
            Ring = (byte*)(((nint)scratch.Pointer + 2 * ring - 1) & ~(2 * ring - 1));
            _codes = (sbyte*)(Ring + ring);
            _numbers = (float*)(_codes + AmxTiles * TileCodes);
            _sums = _numbers + AmxTiles * PanelChunks * AmxNumbers;
        }

        public sbyte* Codes(int tile) => _codes + tile * TileCodes;
        public float* Numbers(int tile) => _numbers + tile * PanelChunks * AmxNumbers;
        public float* Sums(int tile, int group) => _sums + ((nint)tile * _groups + group) * TileSums;
        public void Clear(int tiles) => new Span<float>(_sums, tiles * _groups * TileSums).Clear();
    }

    private void MultiplyAmx(AmxTile code, PackedMatrix w, Activation x, float* y, int fromTile, int toTile)
    {
        InputGroups groups = AmxGroups(x.Tokens);
        var panel = new AmxPanel(t_scratch!, groups.Count);
        byte* configuration = stackalloc byte[Amx.ConfigurationBytes];
        Generated.AmxTile.Configure(TShape.Parts, configuration);
        var arguments = new AmxTile.Arguments { Ring = panel.Ring, Configuration = configuration };
        byte** tiles = stackalloc byte*[AmxTiles];
        int block = w.IsStreamed ? 1 : AmxTiles;
        for (int from = fromTile; from < toTile; from += block)
        {
            int count = Math.Min(block, toTile - from);
            for (int i = 0; i < count; i++) tiles[i] = w.Tile(from + i);
            panel.Clear(count);
            for (int chunk = 0; chunk < w.Chunks; chunk += PanelChunks)
            {
                arguments.Chunks = Math.Min(PanelChunks, w.Chunks - chunk);
                for (int i = 0; i < count; i++) UnpackLevels(tiles[i] + (nint)(chunk / RunChunks) * RunBytes, (int)arguments.Chunks, panel.Codes(i), panel.Numbers(i));
                MultiplyStretch(code, x, groups, chunk, count, panel, ref arguments, isLast: from + block >= toTile && chunk + PanelChunks >= w.Chunks);
            }
            for (int i = 0; i < count; i++)
                for (int g = 0; g < groups.Count; g++)
                    Store(panel.Sums(i, g), PackedMatrix.TileRows, groups.Size, w, y + groups.First(g) * (nint)w.Rows, from + i);
        }
    }

    /// <summary>Adds the products of unpacked stretches of tiles with all tokens.</summary>
    private static void MultiplyStretch(AmxTile code, Activation x, InputGroups groups, int chunk, int tiles, AmxPanel panel, ref AmxTile.Arguments arguments, bool isLast)
    {
        for (int g = 0; g < groups.Count; g++)
        {
            arguments.X = x.CodeBlocks + ((nint)g * x.Chunks + chunk) * groups.Size * Chunk;
            arguments.Inputs = x.Numbers + g * groups.Numbers(x.Chunks) + groups.Numbers(chunk);
            for (int i = 0; i < tiles; i++)
            {
                arguments.Weights = panel.Codes(i);
                arguments.Numbers = panel.Numbers(i);
                arguments.Sums = panel.Sums(i, g);
                arguments.Last = isLast && g == groups.Count - 1 && i == tiles - 1 ? 1 : 0;
                code.Multiply(ref arguments);
                arguments.Configuration = null;
            }
        }
    }

    /// <summary>Codes to levels, [chunk, step, 64]; scales, and offsets if there are, to [chunk, both, part, 16].</summary>
    private void UnpackLevels(byte* run, int count, sbyte* levels, float* numbers)
    {
        var zero = Vector256.Create((sbyte)_zero);
        byte* chunk = run;
        for (int c = 0; c < count; c++, chunk += ChunkBytes, levels += 512, numbers += AmxNumbers)
        {
            if (c % RunChunks == 0)
            {
                run = chunk;
                chunk += UnitsBytes;
            }
            UnpackCodes(chunk + CodesAt, 0, (byte*)levels, 64);
            UnpackCodes(chunk + CodesAt, 1, (byte*)levels + 32, 64);
            for (sbyte* at = levels; at < levels + 512; at += 32) (Vector256.Load(at) + zero).Store(at);
            UnpackNumbers(chunk, (float*)run, numbers, numbers + TShape.Parts * PackedMatrix.TileRows);
        }
    }
}
