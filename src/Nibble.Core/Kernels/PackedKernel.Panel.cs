using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

internal sealed unsafe partial class PackedKernel<TDot, TCodes, TNumber, TShape>
{
    // Many tokens: a stretch of the tile is unpacked to a byte a code, then met by four tokens at a time.

    /// <summary>Scratch memory of one worker: an unpacked stretch of a tile, the inputs and their numbers, the sums of every token.</summary>
    private readonly struct Panel
    {
        public readonly byte* Codes;
        public readonly float* Scales;
        public readonly float* Offsets;
        public readonly float* Units;
        public readonly float* RunSums;
        public readonly byte* X;
        public readonly float* Inputs;
        public readonly float* Sums;

        public Panel(GrowingBuffer scratch, int tokens, int chunks)
        {
            const int codes = PanelChunks * 512, numbers = PanelChunks * 2 * PackedMatrix.TileRows;
            const int units = PanelChunks / 8 * PackedMatrix.TileRows, runSums = 4 * PackedMatrix.TileRows;
            nint inputs = (nint)tokens * InputNumbers.Kinds * Groups * chunks, x = (nint)tokens * chunks * Chunk;
            scratch.Reserve(codes + x + (2 * numbers + units + runSums + inputs + (nint)tokens * PackedMatrix.TileRows) * sizeof(float));
            Codes = scratch.Pointer;
            Scales = (float*)(Codes + codes);
            Offsets = Scales + numbers;
            Units = Offsets + numbers;
            RunSums = Units + units;
            Sums = RunSums + runSums;
            X = (byte*)(Sums + tokens * PackedMatrix.TileRows);
            Inputs = (float*)(X + x);
            new Span<float>(RunSums, runSums).Clear();
        }
    }

    /// <summary>True if scales stay whole numbers, and the sums of a run of chunks are multiplied by its units.</summary>
    private static bool SumsRuns
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TDot.IsNarrow && HasUnits;
    }

    private void MultiplyTile(byte* tile, int chunks, Activation x, Panel panel)
    {
        new Span<float>(panel.Sums, ((x.Tokens + 3) & ~3) * PackedMatrix.TileRows).Clear();
        for (int first = 0; first < chunks; first += PanelChunks)
        {
            int count = Math.Min(PanelChunks, chunks - first);
            Unpack(tile + first / RunChunks * (nint)RunBytes, count, panel);
            byte* next = tile + (first + count) / RunChunks * (nint)RunBytes;
            for (int token = 0; token < x.Tokens; token += 4, next = null) MultiplyPanel(panel, first, count, chunks, token, next);
        }
    }

    /// <summary>Codes to [chunk, step, 64 bytes], scales and offsets to [chunk, part, 16], units to [run, 16].</summary>
    private void Unpack(byte* run, int count, Panel panel)
    {
        const int n = PackedMatrix.TileRows;
        float* units = stackalloc float[2 * n];
        byte* chunk = run;
        for (int c = 0; c < count; c++, chunk += ChunkBytes)
        {
            if (c % RunChunks == 0)
            {
                LoadUnits(chunk, units);
                chunk += UnitsBytes;
                if (SumsRuns) new ReadOnlySpan<float>(units, n).CopyTo(new Span<float>(panel.Units + c / RunChunks * n, n));
            }
            UnpackCodes(chunk + CodesAt, 0, panel.Codes + c * 512, 64);
            UnpackCodes(chunk + CodesAt, 1, panel.Codes + c * 512 + 32, 64);
            float* scales = panel.Scales + c * TShape.Parts * n;
            UnpackNumbers(chunk, units, scales, panel.Offsets + c * TShape.Parts * n);
            if (SumsRuns)
                for (int i = 0; i < TShape.Parts * n; i += 8) LoadPairs(chunk + i).Store((short*)(scales + i));
        }
    }

    /// <summary>The scales of a chunk, and its offsets if it has them, to [part, 16].</summary>
    private void UnpackNumbers(byte* chunk, float* units, float* scales, float* offsets)
    {
        const int n = PackedMatrix.TileRows;
        for (int i = 0; i < TShape.Parts * n; i += 8)
        {
            Vector256<float> scale = TNumber.Load(chunk + i * TNumber.Size);
            (HasUnits ? Times(scale, units + i % n) : scale * _scaleFactor).Store(scales + i);
            if (TShape.HasZeroPoints) (UnitByte.Load(chunk + NumbersBytes + i) * -Vector256.Load(scales + i)).Store(offsets + i);
            else if (TShape.HasOffsets) Times(LoadOffsets(chunk + OffsetsAt + i * TNumber.Size), units + n + i % n).Store(offsets + i);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static Vector256<float> Times(Vector256<float> numbers, float* units) => HasUnits ? numbers * Vector256.Load(units) : numbers;
    }

    /// <summary>8 steps of 32 bytes, the given bytes apart.</summary>
    private void UnpackCodes(byte* codes, int half, byte* target, int apart)
    {
        Vector256<byte> table = _table;
        TCodes.Step(codes, half, 0, table).Store(target);
        TCodes.Step(codes, half, 1, table).Store(target + apart);
        TCodes.Step(codes, half, 2, table).Store(target + 2 * apart);
        TCodes.Step(codes, half, 3, table).Store(target + 3 * apart);
        TCodes.Step(codes, half, 4, table).Store(target + 4 * apart);
        TCodes.Step(codes, half, 5, table).Store(target + 5 * apart);
        TCodes.Step(codes, half, 6, table).Store(target + 6 * apart);
        TCodes.Step(codes, half, 7, table).Store(target + 7 * apart);
    }

    /// <summary>Adds the panel times four tokens to the sums.</summary>
    /// <param name="next">
    /// Where the tile goes on, which is asked for meanwhile: with few tokens the memory would wait while this computes, and this
    /// while the memory is read. Null if it has been.
    /// </param>
    private static void MultiplyPanel(Panel panel, int firstChunk, int count, int chunks, int token, byte* next)
    {
        nint place = (nint)token * chunks + InputCodes.Tokens * firstChunk;
        byte* x = panel.X + place * Chunk;
        float* input = panel.Inputs + place * InputNumbers.Kinds * Groups;
        float* y = panel.Sums + token * PackedMatrix.TileRows;
        byte* w = panel.Codes;
        float* scales = panel.Scales, offsets = panel.Offsets;
        for (int group = 0; group < count * Groups; group++)
        {
            if (next != null)
            {
                Prefetch(next, ChunkBytes / Groups);
                next += ChunkBytes / Groups;
            }
            AddGroup(w, x, scales, input, SumsRuns ? panel.RunSums : y);
            if (TShape.HasOffsets) AddOffsets(offsets, input + 8, y);
            w += 512 / Groups;
            x += InputCodes.Tokens * Chunk / Groups;
            input += 4 * InputNumbers.Kinds;
            if (Groups == TShape.Parts || group % 2 == 1)
            {
                scales += PackedMatrix.TileRows;
                offsets += PackedMatrix.TileRows;
            }
            const int runGroups = 8;
            if (SumsRuns && (group + 1) % (runGroups * Groups) == 0) AddRun(panel.RunSums, panel.Units + group / (runGroups * Groups) * PackedMatrix.TileRows, y);
        }
    }

    /// <summary>Adds 16 rows times four tokens, over the columns of a group. a are rows 0 to 7, b rows 8 to 15.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddGroup(byte* w, byte* x, float* scales, float* input, float* y)
    {
        Vector256<int> a0 = Start(input + 4), a1 = Start(input + 5), a2 = Start(input + 6), a3 = Start(input + 7);
        Vector256<int> b0 = a0, b1 = a1, b2 = a2, b3 = a3;
        for (byte* end = w + 512 / Groups; w < end; w += 64, x += 16)
        {
            Vector256<byte> wa = Vector256.Load(w), wb = Vector256.Load(w + 32);
            Vector256<sbyte> four = Broadcast((sbyte*)x);
            a0 = TDot.Add(a0, wa, four);
            b0 = TDot.Add(b0, wb, four);
            four = Broadcast((sbyte*)x + 4);
            a1 = TDot.Add(a1, wa, four);
            b1 = TDot.Add(b1, wb, four);
            four = Broadcast((sbyte*)x + 8);
            a2 = TDot.Add(a2, wa, four);
            b2 = TDot.Add(b2, wb, four);
            four = Broadcast((sbyte*)x + 12);
            a3 = TDot.Add(a3, wa, four);
            b3 = TDot.Add(b3, wb, four);
        }
        Vector256<float> scale = Vector256.Load(scales);
        AddSum(a0, scale, input, y);
        AddSum(a1, scale, input + 1, y + 16);
        AddSum(a2, scale, input + 2, y + 32);
        AddSum(a3, scale, input + 3, y + 48);
        scale = Vector256.Load(scales + 8);
        AddSum(b0, scale, input, y + 8);
        AddSum(b1, scale, input + 1, y + 24);
        AddSum(b2, scale, input + 2, y + 40);
        AddSum(b3, scale, input + 3, y + 56);
    }

    /// <summary>y += scale xScale dot.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddSum(Vector256<int> dot, Vector256<float> scale, float* input, float* y)
    {
        var xScale = Vector256.Create(input[0]);
        Vector256<float> sum = Vector256.Load(y);
        if (SumsRuns) sum = Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(TDot.Widen(dot, scale.AsInt16())), xScale, sum);
        else
        {
            if (TDot.IsNarrow) dot = TDot.Widen(dot, Vector256<short>.One);
            sum = Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(dot) * xScale, scale, sum);
        }
        sum.Store(y);
    }

    /// <summary>Adds 16 rows' offsets times four tokens' sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddOffsets(float* offsets, float* sums, float* y)
    {
        Vector256<float> a = Vector256.Load(offsets), b = Vector256.Load(offsets + 8);
        for (int token = 0; token < 4; token++, y += 16)
        {
            var sum = Vector256.Create(sums[token]);
            Vector256.FusedMultiplyAdd(a, sum, Vector256.Load(y)).Store(y);
            Vector256.FusedMultiplyAdd(b, sum, Vector256.Load(y + 8)).Store(y + 8);
        }
    }

    /// <summary>Adds the sums of a run, times its units, and clears them.</summary>
    private static void AddRun(float* sums, float* units, float* y)
    {
        Vector256<float> a = Vector256.Load(units), b = Vector256.Load(units + 8);
        for (int i = 0; i < 4 * PackedMatrix.TileRows; i += 16)
        {
            Vector256.FusedMultiplyAdd(Vector256.Load(sums + i), a, Vector256.Load(y + i)).Store(y + i);
            Vector256.FusedMultiplyAdd(Vector256.Load(sums + i + 8), b, Vector256.Load(y + i + 8)).Store(y + i + 8);
            Vector256<float>.Zero.Store(sums + i);
            Vector256<float>.Zero.Store(sums + i + 8);
        }
    }

    private static Vector256<byte> TableOf(ReadOnlySpan<sbyte> levels)
    {
        Span<byte> table = stackalloc byte[32];
        for (int i = 0; i < levels.Length; i++) table[i] = table[i + 16] = (byte)(levels[i] + 128);
        return Vector256.Create<byte>(table);
    }
}
