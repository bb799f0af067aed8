using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

internal sealed partial class WideTileCode
{
    // Codes and scales as they are stored, to bytes and floats.

    /// <summary>The codes of a step, a byte each, to <see cref="_codes"/>: as the step of the layout in <see cref="ICodeLayout"/>.</summary>
    private void Unpack(int i, int step)
    {
        AssemblerRegisterZMM codes = _codes[i];
        if (LowBits == 8)
        {
            _.vmovups(codes, Codes(i, step));
            return;
        }
        (int piece, int from) = LowBits == 4 ? (step & 3, step < 4 ? 0 : 4) : (step >> 2, 2 * (step & 3));
        if (from == 0) _.vmovups(_piece[i], Codes(i, piece));
        if (from > 0) _.vpsrlw(codes, _piece[i], (byte)from);
        else if (FoldsScales) _.vmovaps(codes, _piece[i]);
        if (FoldsScales) _.vpternlogd(codes, _lowMask, _rowPlaces, MaskedOr);
        else _.vpandd(codes, _lowMask, from > 0 ? codes : _piece[i]);
        if (HighBits > 0) AddHighBits(i, step);
        if (_shape.IsTable || FoldsScales) _.vpshufb(codes, _table, codes);
    }

    /// <summary>One plane of 8 single bits, or two of 4 times two bits. Lanes have 16 bits: what crosses a byte is masked away.</summary>
    private void AddHighBits(int i, int step)
    {
        (int plane, int at) = HighBits == 1 ? (0, step) : (step >> 2, 2 * (step & 3));
        AssemblerRegisterZMM bits = _tiles == 1 ? _planes[plane] : _shifted;
        if (_tiles > 1 || at == 0) _.vmovups(bits, Codes(i, LowBits + plane));
        if (at > LowBits) _.vpsrlw(_shifted, bits, (byte)(at - LowBits));
        else if (at < LowBits) _.vpsllw(_shifted, bits, (byte)(LowBits - at));
        _.vpternlogd(_codes[i], _highMask, at == LowBits ? bits : _shifted, OrMasked);
    }

    /// <summary>Codes 0 to 3 times the scale of a row and part, for each row.</summary>
    private void MakeTable(int part)
    {
        LoadNibbles(_table, 0, part * PackedMatrix.TileRows, areOffsets: false);
        _.vpmulld(_table, _table, _multiples);
    }

    /// <summary>16 scales, offsets or zero points of so many bytes as floats.</summary>
    private void LoadNumber(AssemblerRegisterZMM target, int i, int at, int bytes, bool areOffsets = false)
    {
        switch (bytes)
        {
            case 4: _.vmovups(target, __[At(s_tile, i, at)]); break;
            case 2: _.vcvtph2ps(target, __ymmword_ptr[At(s_tile, i, at)]); break;
            case 1 when _shape.Numbers == ScaleNumbers.HalfUppers:
                AssemblerRegisterYMM halves = VectorRegisters.LowerOf(target);
                _.vpmovzxbw(halves, __xmmword_ptr[At(s_tile, i, at)]);
                _.vpsllw(halves, halves, HalfUpper8.Shift);
                _.vcvtph2ps(target, halves);
                break;
            case 1 when _shape.Numbers == ScaleNumbers.Exponents:
                _.vpmovzxbd(target, __xmmword_ptr[At(s_tile, i, at)]);
                _.vpslld(target, target, Exponent8.MantissaBits);
                break;
            default:
                if (_shape.SharesBytes) LoadNibbles(target, i, at, areOffsets);
                else _.vpmovsxbd(target, __xmmword_ptr[At(s_tile, i, at)]);
                _.vcvtdq2ps(target, target);
                break;
        }
    }

    /// <summary>16 scales, or the offsets above them, as integers.</summary>
    private void LoadNibbles(AssemblerRegisterZMM target, int i, int at, bool areOffsets)
    {
        _.vpmovzxbd(target, __xmmword_ptr[At(s_tile, i, at)]);
        if (areOffsets) _.vpsrld(target, target, 4);
        else _.vpandd(target, target, _nibble);
    }
}
