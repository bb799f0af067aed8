using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Tests.Kernels.Generated;

/// <summary>The generated code against its definition, emulated everywhere, and run where the processor can.</summary>
public sealed unsafe class WidePanelTests
{
    [Theory]
    [InlineData(1, false, 16), InlineData(1, true, 3), InlineData(2, false, 1), InlineData(2, true, 16)]
    public void It_sums_products(int parts, bool hasOffsets, int chunks)
    {
        var panel = new Panel(parts, hasOffsets, chunks);
        float[] expected = panel.Expected(), before = [.. panel.Sums];
        foreach (bool windows in (bool[])[false, true])
        {
            before.CopyTo(panel.Sums, 0);
            panel.Run(Emulator.Panel(parts, hasOffsets, windows));
            Assert.Equal(expected, panel.Sums);
        }
        if (WidePanel.For(parts, hasOffsets) is not { } wide) return;
        before.CopyTo(panel.Sums, 0);
        panel.Run(wide);
        Assert.Equal(expected, panel.Sums);
    }

    private sealed class Panel
    {
        private const int Rows = 16, Tokens = WidePanel.Tokens, Tiles = WidePanel.Tiles;

        private readonly int _parts, _chunks, _stride;
        private readonly bool _hasOffsets;
        private readonly byte[] _codes;
        private readonly float[] _numbers, _inputs;
        private readonly sbyte[] _x;

        public Panel(int parts, bool hasOffsets, int chunks)
        {
            (_parts, _hasOffsets, _chunks, _stride) = (parts, hasOffsets, chunks, chunks * 32 + 64);
            var random = new Random(parts + chunks);
            float[] Floats(int count) => [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() - 0.5f)];
            _codes = new byte[Tiles * WidePanel.Chunks * 512];
            random.NextBytes(_codes);
            _x = new sbyte[Tokens * _stride];
            foreach (ref sbyte x in _x.AsSpan()) x = (sbyte)random.Next(-127, 128);
            _numbers = Floats(2 * Tiles * WidePanel.Chunks * parts * Rows);
            _inputs = Floats(chunks * parts * InputNumbers.Kinds * Tokens);
            Sums = Floats(Tokens * Tiles * Rows);
        }

        public float[] Sums { get; }

        public void Run(WidePanel code)
        {
            fixed (byte* codes = _codes)
            fixed (float* numbers = _numbers, inputs = _inputs, sums = Sums)
            fixed (sbyte* x = _x)
            {
                var arguments = new WidePanel.Arguments { Codes = codes, Numbers = numbers, X = x, Stride = _stride, Inputs = inputs, Sums = sums, Count = _chunks };
                code.Multiply(ref arguments);
            }
        }

        /// <summary>The sums after the call, in the order in which a kernel of 256 bits adds too.</summary>
        public float[] Expected()
        {
            float[] sums = [.. Sums];
            for (int i = 0; i < sums.Length; i++)
            {
                int token = i / (Tiles * Rows), tile = i / Rows % Tiles, row = i % Rows;
                for (int part = 0; part < _chunks * _parts; part++)
                {
                    int number = (tile * WidePanel.Chunks * _parts + part) * Rows + row;
                    float Input(int kind) => _inputs[(part * InputNumbers.Kinds + kind) * Tokens + token];
                    float sum = MathF.FusedMultiplyAdd(Dot(token, tile, row, part), Input(0), Input(1));
                    sums[i] = MathF.FusedMultiplyAdd(sum, _numbers[number], sums[i]);
                    if (_hasOffsets) sums[i] = MathF.FusedMultiplyAdd(_numbers[number + _numbers.Length / 2], Input(2), sums[i]);
                }
            }
            return sums;
        }

        private int Dot(int token, int tile, int row, int part)
        {
            int sum = 0, width = 32 / _parts;
            for (int column = part * width; column < (part + 1) * width; column++)
                sum += _x[token * _stride + column] * _codes[((tile * WidePanel.Chunks + column / 32) * 8 + column % 32 / 4) * 64 + row * 4 + column % 4];
            return sum;
        }
    }
}
